from django.db import models
from django.db.models.signals import post_save
from django.dispatch import receiver


class Document(models.Model):
    file = models.FileField(upload_to="documents/")
    uploaded_at = models.DateTimeField(auto_now_add=True)
    name = models.CharField(max_length=255, blank=True)
    size = models.BigIntegerField(null=True)
    processed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


@receiver(post_save, sender=Document)
def process_document(sender, instance, created, **kwargs):
    from peer.tasks import store_metadata

    if created:
        store_metadata.delay(instance.pk)
