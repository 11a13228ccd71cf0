/* The libFuzzer executable: an embedded Python that calls native.pyx's `one` for every input. */
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>

static int (*one)(const char *, Py_ssize_t);

static void stop(void) {
    PyErr_Print();
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    Py_Initialize();
    if (PyRun_SimpleString("import native_setup") != 0) abort();
    PyObject *module = PyImport_ImportModule("mexcfast.core.fuzzed");
    PyObject *table = module ? PyObject_GetAttrString(module, "__pyx_capi__") : NULL;
    PyObject *capsule = table ? PyDict_GetItemString(table, "one") : NULL;
    if (capsule == NULL) stop();
    *(void **)&one = PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule));
    if (one == NULL) stop();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (one((const char *)data, (Py_ssize_t)size) != 0) stop();
    return 0;
}
