from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0019_main_api_limits"),
    ]

    operations = [
        migrations.CreateModel(
            name="CampaignCalendar",
            fields=[
                (
                    "campaign_id",
                    models.CharField(max_length=255, primary_key=True, serialize=False, verbose_name="campaign"),
                ),
                ("own", models.JSONField(blank=True, help_text="Set in the admin.", null=True)),
                ("served", models.JSONField(blank=True, help_text="From the main API.", null=True)),
                ("fault", models.TextField(blank=True, help_text="Why the main API's calendar is not used.")),
                (
                    "asked_at",
                    models.DateTimeField(blank=True, help_text="When the main API was last asked for it.", null=True),
                ),
            ],
            options={
                "verbose_name": "calendar",
                "default_permissions": ("change",),
            },
        ),
    ]
