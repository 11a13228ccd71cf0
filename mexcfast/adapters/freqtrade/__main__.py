"""python -m mexcfast.adapters.freqtrade"""

from mexcfast.adapters.freqtrade import main

if __name__ == "__main__":
    main()
