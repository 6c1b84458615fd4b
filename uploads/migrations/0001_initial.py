"""The tables, and an index on PostgreSQL that finds any part of a name, from three characters on.

A GIN index takes the elements of an array as its keys, so no extension of the database is needed. It holds finished
uploads only: an upload's row is written three times, and an index of each version would cost three times as much. From
the statistics PostgreSQL knows whether a text is rare.
"""

import django.db.models.deletion
import django.utils.timezone
import uploads.storage.paths
import uuid
from django.conf import settings
from django.db import migrations, models
from typing import Any

TRIGRAMS = """
CREATE FUNCTION uploads_trigrams(name text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    upper_case text := upper(name);
    trigrams text[] := '{}';
BEGIN
    FOR position IN 1 .. length(upper_case) - 2 LOOP
        trigrams := trigrams || substr(upper_case, position, 3);
    END LOOP;
    RETURN trigrams;
END
$$
"""
INDEX = """
CREATE INDEX upload_trigrams ON uploads_upload USING gin (uploads_trigrams(name)) WHERE processed_at IS NOT NULL
"""
STATISTICS = "CREATE STATISTICS upload_trigrams_statistics ON (uploads_trigrams(name)) FROM uploads_upload"


def create_search_index(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(TRIGRAMS)
        schema_editor.execute(INDEX)
        schema_editor.execute(STATISTICS)


def drop_search_index(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP STATISTICS upload_trigrams_statistics")
        schema_editor.execute("DROP INDEX upload_trigrams")
        schema_editor.execute("DROP FUNCTION uploads_trigrams(text)")


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Heartbeat',
            fields=[
                ('instance', models.UUIDField(primary_key=True, serialize=False)),
                ('role', models.CharField(choices=[('worker', 'Worker'), ('scheduler', 'Scheduler')], max_length=10)),
                ('seen_at', models.DateTimeField()),
                ('steady_since', models.DateTimeField(help_text='When its newest heartbeats without a break began.')),
            ],
        ),
        migrations.CreateModel(
            name='Report',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('holder', models.UUIDField(blank=True, help_text='The process that has claimed it.', null=True)),
                ('claim_id', models.UUIDField(blank=True, editable=False, help_text='The attempt that may settle it.', null=True)),
                ('attempts', models.PositiveSmallIntegerField(default=0, help_text='Counted before the work begins.')),
                ('due_at', models.DateTimeField(default=django.utils.timezone.now, editable=False, help_text='When its message was sent, or will be due; empty: no message is on its way.', null=True)),
                ('started_at', models.DateTimeField(blank=True, help_text='When the newest attempt began.', null=True)),
                ('slot', models.DateTimeField(help_text='The time of its tick, UTC.', unique=True)),
                ('status', models.CharField(choices=[('sending', 'Sending'), ('sent', 'Sent'), ('skipped', 'Skipped'), ('failed', 'Failed')], default='sending', max_length=10)),
                ('sent_at', models.DateTimeField(blank=True, null=True)),
                ('totals', models.JSONField(blank=True, default=dict)),
                ('recipients', models.TextField(blank=True)),
                ('subject', models.CharField(blank=True, max_length=200)),
                ('text', models.TextField(blank=True)),
                ('html', models.TextField(blank=True)),
                ('error', models.TextField(blank=True)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Upload',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('holder', models.UUIDField(blank=True, help_text='The process that has claimed it.', null=True)),
                ('claim_id', models.UUIDField(blank=True, editable=False, help_text='The attempt that may settle it.', null=True)),
                ('attempts', models.PositiveSmallIntegerField(default=0, help_text='Counted before the work begins.')),
                ('due_at', models.DateTimeField(default=django.utils.timezone.now, editable=False, help_text='When its message was sent, or will be due; empty: no message is on its way.', null=True)),
                ('started_at', models.DateTimeField(blank=True, help_text='When the newest attempt began.', null=True)),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, help_text='The random id in its URL.', unique=True)),
                ('visitor', models.UUIDField(blank=True, help_text='The browser it came from.', null=True)),
                ('name', models.CharField(help_text="The user's file name: a label, never a path.", max_length=255)),
                ('file', models.FileField(upload_to=uploads.storage.paths.stored_path)),
                ('size', models.BigIntegerField(help_text='Bytes.')),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('processing', 'Processing'), ('ready', 'Ready'), ('failed', 'Failed')], default='pending', max_length=10)),
                ('content_type', models.CharField(blank=True, help_text='Determined from the bytes.', max_length=100)),
                ('metadata', models.JSONField(blank=True, default=dict)),
                ('error', models.TextField(blank=True, help_text='Why it failed, for a person.')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('processed_at', models.DateTimeField(blank=True, null=True)),
                ('missing_since', models.DateTimeField(blank=True, editable=False, help_text='When a worker first did not find its file.', null=True)),
                ('owner', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [models.Index(fields=['owner', 'id'], name='upload_owner'), models.Index(fields=['visitor', 'id'], name='upload_visitor'), models.Index(fields=['status', 'content_type', 'size'], name='upload_tally'), models.Index(condition=models.Q(('status', 'failed')), fields=['id'], name='upload_failed'), models.Index(fields=['processed_at'], name='upload_processed_at'), models.Index(condition=models.Q(('status__in', ['pending', 'processing'])), fields=['status', 'due_at'], name='upload_unfinished')],
            },
        ),
        migrations.RunPython(create_search_index, drop_search_index),
    ]
