"""Where the notices of a page wait for the next page: in a cookie, and what does not fit into it in the session."""

from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.messages.storage.session import SessionStorage


class MessageCookie(CookieStorage):
    """Django's, under a name that no other site on the same host uses."""

    cookie_name = "tallybox_messages"


class MessageStorage(FallbackStorage):
    storage_classes = (MessageCookie, SessionStorage)
