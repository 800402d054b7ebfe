"""The command line and the HTTP service, on a bundle."""
