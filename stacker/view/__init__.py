"""What people look at: plans, graphs and problems as terminal pictures, text and JSON."""
