"""The comparison of likelihood models: its members, figures and table."""
