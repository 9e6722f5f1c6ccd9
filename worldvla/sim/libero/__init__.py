"""LIBERO's suites behind `worldvla.sim.protocol.Simulator`."""
