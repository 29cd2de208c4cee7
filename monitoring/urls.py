from django.urls import path

from monitoring import views

urlpatterns = [
    path("health", views.show_health),
    path("health/live", views.live),
    path("health/ready", views.ready),
    path("metrics", views.metrics),
    path("metrics/prometheus", views.prometheus),
]
