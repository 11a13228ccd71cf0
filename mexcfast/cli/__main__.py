"""python -m mexcfast.cli"""

from mexcfast.cli import main

if __name__ == "__main__":
    main()
