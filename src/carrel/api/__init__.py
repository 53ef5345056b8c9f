"""How do the rooms become one HTTP application with one way to answer errors?"""
