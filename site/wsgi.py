"""The WSGI application that gunicorn serves."""

import os
import warnings

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

# WhiteNoise warns where collectstatic has not been run. It then serves the files from where they are.
warnings.filterwarnings("ignore", "No directory at", UserWarning)
application = get_wsgi_application()
