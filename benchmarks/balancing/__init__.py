"""Which strategy is right when? A simulation in virtual time that drives the shipped strategies beside their peers."""
