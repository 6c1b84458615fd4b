"""Stores notices for the next page: in a cookie or, where they do not fit into it, in the session."""

from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.messages.storage.session import SessionStorage


class MessageCookie(CookieStorage):
    """Django's message cookie, under a name that no other site on the same host uses."""

    cookie_name = "tallybox_messages"


class MessageStorage(FallbackStorage):
    storage_classes = (MessageCookie, SessionStorage)
