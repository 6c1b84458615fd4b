import os

from celery import shared_task
from django.core.mail import send_mail
from django.utils import timezone
from peer.models import Document


@shared_task
def store_metadata(document_id):
    document = Document.objects.get(pk=document_id)
    document.name = os.path.basename(document.file.name)
    document.size = document.file.size
    document.processed_at = timezone.now()
    document.save()


@shared_task
def mail_report():
    report = ""
    for document in Document.objects.all():
        report += f"{document.name}: {document.size} bytes, uploaded {document.uploaded_at}\n"
    send_mail("Uploaded files", report, None, ["reports@localhost"])
