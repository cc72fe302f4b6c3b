"""One function per thing the product does; it takes the transaction first and never commits."""
