"""The consent service: may I use this person's data for this purpose, now, and why?"""

from importlib.metadata import version

__version__ = version("consent-service")
