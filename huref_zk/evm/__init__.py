"""The circuit part of a proof, checked by a contract on an Ethereum machine. See docs/evm.md."""
