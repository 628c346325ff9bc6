"""How far outputs agree with a reference: one file per kind of output."""
