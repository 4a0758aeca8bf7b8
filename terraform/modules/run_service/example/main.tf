module "image_api" {
  source = "../"

  project_id = "example-project"
  region     = "europe-west1"
  name       = "image-api"
  purpose    = "Answers the HTTP API."

  container = {
    image       = "europe-west1-docker.pkg.dev/example-project/images/image-api@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    command     = ["python", "-m", "image_api"]
    environment = { LOG_LEVEL = "INFO" }
  }

  scaling = {
    max_instances           = 4
    concurrency             = 40
    request_timeout_seconds = 60
  }

  access = {
    ingress = "INGRESS_TRAFFIC_ALL"
    public  = true
  }

  network = {
    network_id = "projects/example-project/global/networks/image-manager"
    subnet_id  = "projects/example-project/regions/europe-west1/subnetworks/image-manager-run"
  }
}
