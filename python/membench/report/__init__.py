"""Results → text and Rich renderables; nothing here prints."""
