"""What a spec says, whichever language it was written in: its values, the grammars inside them, and checks of them."""
