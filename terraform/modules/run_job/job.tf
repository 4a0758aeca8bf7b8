resource "google_cloud_run_v2_job" "this" {
  project             = var.project_id
  location            = var.region
  name                = var.name
  labels              = var.labels
  deletion_protection = var.deletion_protection

  template {
    # A single task: two at the same time would only wait for each other.
    task_count  = 1
    parallelism = 1

    template {
      service_account       = local.email
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      timeout               = "${var.run.timeout_seconds}s"
      max_retries           = var.run.max_retries

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
        args    = var.container.arguments

        resources {
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
      }
    }
  }

  lifecycle {
    # Deploys manage the image; an apply would silently restore the first one. gcloud writes the attributes after it.
    ignore_changes = [
      client,
      client_version,
      template[0].annotations,
      template[0].labels,
      template[0].template[0].containers[0].image,
      template[0].template[0].containers[0].name,
    ]
  }
}
