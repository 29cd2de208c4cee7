from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0013_names")]

    operations = [
        migrations.AddField(
            model_name="job",
            name="payload_version",
            field=models.SmallIntegerField(
                db_default=1,
                default=1,
                editable=False,
                help_text="of the type's payloads when it was submitted",
            ),
        ),
    ]
