"""Notifications: what a person must hear of when nobody watches, and the ways it reaches them."""
