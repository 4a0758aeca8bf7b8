resource "google_cloud_run_v2_service" "this" {
  project             = var.project_id
  location            = var.region
  name                = var.name
  description         = var.purpose
  labels              = var.labels
  ingress             = var.access.ingress
  custom_audiences    = var.access.custom_audiences
  deletion_protection = var.deletion_protection

  # Unlike a grant to allUsers, this also works if the organisation restricts sharing to its domain.
  invoker_iam_disabled = var.access.public

  scaling {
    # A limit of the service, not of a revision, so that a new revision does not double it.
    min_instance_count = var.scaling.min_instances
    max_instance_count = var.scaling.max_instances
  }

  template {
    service_account                  = local.email
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    max_instance_request_concurrency = var.scaling.concurrency
    timeout                          = "${var.scaling.request_timeout_seconds}s"
    health_check_disabled            = false

    scaling {
      max_instance_count = var.scaling.max_instances
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"

      network_interfaces {
        network    = var.network.network_id
        subnetwork = var.network.subnet_id
        tags       = var.network.tags
      }
    }

    containers {
      image   = var.container.image
      command = var.container.command

      ports {
        container_port = var.container.port
      }

      resources {
        cpu_idle          = !var.container.cpu_always_allocated
        startup_cpu_boost = true
        limits = {
          cpu    = var.container.cpu
          memory = var.container.memory
        }
      }

      dynamic "env" {
        for_each = var.container.environment

        content {
          name  = env.key
          value = env.value
        }
      }

      # Cloud Run reserves some paths that end in z, so none of these does.
      startup_probe {
        period_seconds    = 2
        timeout_seconds   = 2
        failure_threshold = 30

        http_get {
          path = "/health/live"
          port = var.container.port
        }
      }

      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 5
        failure_threshold = 3

        http_get {
          path = "/health/live"
          port = var.container.port
        }
      }

      # Readiness only controls traffic: a service is created before its schema exists, and waits for it.
      readiness_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 3
        success_threshold = 1

        http_get {
          path = "/health/ready"
          port = var.container.port
        }
      }
    }
  }

  lifecycle {
    # Deploys manage image and traffic; an apply would silently restore the first image. gcloud adds the label to make
    # each revision differ, the annotation that repeats the image, and the container's name. A revision's name is not ignored: an apply that kept the name of
    # the last one would be refused.
    ignore_changes = [
      client,
      client_version,
      template[0].annotations,
      template[0].containers[0].image,
      template[0].containers[0].name,
      template[0].labels,
      traffic,
    ]
  }
}
