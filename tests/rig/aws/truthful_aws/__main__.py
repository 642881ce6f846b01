"""`python -m truthful_aws [--port N]`"""

import argparse

from .server import serve

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="truthful_aws", description="An AWS for tests that tells the truth.")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on; 0 lets the system choose")
    serve(parser.parse_args().port)
