from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0030_type_settings")]

    operations = [
        migrations.AddField(
            model_name="job",
            name="waits",
            field=models.IntegerField(
                db_default=0,
                default=0,
                editable=False,
                help_text="Claims that sent nothing, because the job had to wait.",
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="waits_since",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="When it was first found to have to wait; empty if it need not.",
                null=True,
            ),
        ),
    ]
