"""HTTP: resources that parse, ask the desk one thing, and render the answer."""
