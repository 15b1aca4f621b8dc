"""The embedded judge's network: token windows, body and head, and the folder that its weights lie in."""
