from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0026_event_triggers")]

    operations = [
        migrations.AddField(
            model_name="triggerstep",
            name="event_id",
            field=models.CharField(blank=True, db_default="", default="", max_length=255),
        ),
    ]
