"""Checks before any long work: does the table fit the configuration?"""
