
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0029_job_actions'),
    ]

    operations = [
        migrations.CreateModel(
            name='TypeSettings',
            fields=[
                ('type', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('max_attempts', models.PositiveIntegerField(blank=True, help_text="Empty: the type's own.", null=True)),
                ('backoff_ms', models.PositiveIntegerField(blank=True, help_text="Milliseconds. Empty: the environment's.", null=True)),
                ('timeout_s', models.PositiveIntegerField(blank=True, help_text="Seconds. Empty: the type's own.", null=True)),
                ('concurrency', models.PositiveIntegerField(blank=True, help_text='Running jobs. Empty: no limit.', null=True)),
                ('actor', models.CharField(max_length=120)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('since', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'default_permissions': ('change',),
            },
        ),
    ]
