"""The building blocks of ops: their declaration, checks of their parameters, and arithmetic that several ops share."""
