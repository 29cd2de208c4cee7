from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0034_titles_of_fields"),
    ]

    operations = [
        migrations.AddField(
            model_name="triggerstep",
            name="was_unknown",
            field=models.BooleanField(help_text="Whether an earlier request of it had no clear outcome.", null=True),
        ),
    ]
