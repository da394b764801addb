"""How clients speak: each dialect turns its wire messages into a conversation's events and its actions back."""
