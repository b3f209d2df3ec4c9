"""Classical fillings to compare with: no learning, no refinement."""
