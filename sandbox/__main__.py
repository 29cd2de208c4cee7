"""Serve the sandbox main API without Django."""

import argparse
import logging
import sys

from sandbox.cli import add_arguments, serve

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    add_arguments(parser)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(serve(parser.parse_args()))
