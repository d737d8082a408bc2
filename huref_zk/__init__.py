"""huref_zk: a picture that fingerprints a large language model, and a proof that it is honest."""

__version__ = "0.1.0"
