"""Keys, tokens and servers that ask for them, all made here from names."""

from __future__ import annotations

import base64
import hashlib
import json

import nkeys


class Key:
    """An nkey drawn from a name. kind: nkeys.PREFIX_BYTE_USER and so on; seed, public: text."""

    def __init__(self, name, kind):
        seed = nkeys.encode_seed(hashlib.sha256(name.encode()).digest(), kind)
        self._pair = nkeys.from_seed(bytearray(seed))
        self.seed, self.public = seed.decode(), self._pair.public_key.decode()

    def token(self, subject, kind, **claims):
        """What it says of another key, as a JWT. kind: user, account or operator."""
        body = {"iat": 1_700_000_000, "iss": self.public, "jti": subject.public, "name": kind,
                "sub": subject.public, "nats": {"type": kind, "version": 2, **claims}}
        text = ".".join(_packed(json.dumps(part).encode()) for part in (
            {"typ": "JWT", "alg": "ed25519-nkey"}, body))
        return f"{text}.{_packed(self._pair.sign(text.encode()))}"


def _packed(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def user(name):
    return Key(name, nkeys.PREFIX_BYTE_USER)


def account(name):
    return Key(name, nkeys.PREFIX_BYTE_ACCOUNT)


def creds(key, vouching):
    """The text of a .creds file; vouching: the account's key."""
    token = vouching.token(key, "user", subs=-1, data=-1, payload=-1, pub={}, sub={})
    return (f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            "IMPORTANT: keep it to yourself.\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{key.seed}\n------END USER NKEY SEED------\n")


def server_of_tokens(known):
    """A server's configuration: users that this account vouches for."""
    operator = Key("operator", nkeys.PREFIX_BYTE_OPERATOR)
    limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
    vouched = operator.token(known, "account", limits={**limits, "wildcards": True})
    return (f'operator: "{operator.token(operator, "operator")}"\nresolver: MEMORY\n'
            f'resolver_preload: {{ {known.public}: "{vouched}" }}\n')
