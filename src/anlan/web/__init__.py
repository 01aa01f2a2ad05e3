"""The web toolkit: app factory, sign-in, permissions, theme, layout, components, live frame."""
