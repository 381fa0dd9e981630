//! Everything that runs the engine on purpose: inline tests, and later explain, mutate, backtest.
