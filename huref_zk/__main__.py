"""`python -m huref_zk`, for where the program's own name is not on the path."""

from huref_zk.cli import main

if __name__ == "__main__":
    main(prog_name="huref-zk")
