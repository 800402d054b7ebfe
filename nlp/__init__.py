"""The domain's language: taxonomy, Arabic normalisation, sentences, documents, records and errors."""

__version__ = "0.1.0"
