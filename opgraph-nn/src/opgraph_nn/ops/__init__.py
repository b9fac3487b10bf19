"""The ops of namespace ``nn``, a family a file."""
