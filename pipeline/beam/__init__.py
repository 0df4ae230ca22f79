"""The in-process Beam runner, its workers, and everything that touches Beam's private parts."""
