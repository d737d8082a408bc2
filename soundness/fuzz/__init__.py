"""Fuzzing every parser of bytes that others wrote: `make fuzz`, and a short run in the suite.

Only a HurefError may come out of a parser, whatever goes in, within bounded memory and time.
"""
