"""Safe settings: templates, the four kinds of resource, their operations, and what really runs."""
