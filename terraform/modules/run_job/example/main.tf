module "image_migrate" {
  source = "../"

  project_id = "example-project"
  region     = "europe-west1"
  name       = "image-migrate"
  purpose    = "Brings the schema to the newest revision."

  container = {
    image       = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    command     = ["image-manager-admin"]
    arguments   = ["migrate"]
    environment = { DATABASE_NAME = "image_manager" }
  }

  run = {
    timeout_seconds = 1200
  }

  network = {
    network_id = "projects/example-project/global/networks/image-manager"
    subnet_id  = "projects/example-project/regions/europe-west1/subnetworks/image-manager-run"
  }
}
