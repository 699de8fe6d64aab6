"""Ways to ask a model: one file per backend kind, one endpoint behind them."""
