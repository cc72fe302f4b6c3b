"""The only room that speaks HTTP: one module per noun."""
