"""Processes that increment one number while members of the ensemble die and clients stand still."""
