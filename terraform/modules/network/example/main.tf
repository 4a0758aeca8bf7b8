module "network" {
  source = "../"

  project_id = "example-project"
  region     = "europe-west1"
}
