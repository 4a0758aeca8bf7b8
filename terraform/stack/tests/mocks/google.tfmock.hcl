# References between resources have the format that the provider requires. The mocked provider would generate a word
# of eight letters, which the real one rejects; tests/infra/test_second_plan.py finds those that remain.
mock_resource "google_compute_network" {
  defaults = { id = "projects/example-project/global/networks/image-manager" }
}

mock_resource "google_compute_subnetwork" {
  defaults = { id = "projects/example-project/regions/europe-west1/subnetworks/image-manager-run" }
}

mock_resource "google_compute_url_map" {
  defaults = { id = "projects/example-project/global/urlMaps/image-manager-https" }
}

mock_resource "google_compute_target_http_proxy" {
  defaults = { id = "projects/example-project/global/targetHttpProxies/image-manager-redirect" }
}

mock_resource "google_compute_target_https_proxy" {
  defaults = { id = "projects/example-project/global/targetHttpsProxies/image-manager-https" }
}

mock_resource "google_certificate_manager_dns_authorization" {
  defaults = {
    id                  = "projects/example-project/locations/global/dnsAuthorizations/image-manager"
    dns_resource_record = [{ name = "_acme-challenge.images.example.com.", type = "CNAME", data = "1234.authorize.certificatemanager.goog." }]
  }
}

mock_resource "google_certificate_manager_certificate" {
  defaults = { id = "projects/example-project/locations/global/certificates/image-manager" }
}

mock_resource "google_certificate_manager_certificate_map" {
  defaults = { id = "projects/example-project/locations/global/certificateMaps/image-manager-edge" }
}

mock_resource "google_compute_ssl_policy" {
  defaults = { id = "projects/example-project/global/sslPolicies/image-manager-edge" }
}

mock_resource "google_compute_security_policy" {
  defaults = { id = "projects/example-project/global/securityPolicies/image-manager-edge" }
}

mock_resource "google_compute_backend_service" {
  defaults = { id = "projects/example-project/global/backendServices/image-manager-api" }
}

mock_resource "google_compute_region_network_endpoint_group" {
  defaults = { id = "projects/example-project/regions/europe-west1/networkEndpointGroups/image-manager-api" }
}

mock_resource "google_compute_global_address" {
  defaults = { address = "203.0.113.7", id = "projects/example-project/global/addresses/image-manager" }
}

mock_resource "google_cloud_run_v2_service" {
  defaults = { uri = "https://service-abc-ew.a.run.app" }
}

mock_resource "google_monitoring_notification_channel" {
  defaults = { id = "projects/example-project/notificationChannels/1234567890" }
}

mock_resource "google_monitoring_slo" {
  defaults = { name = "projects/123456789012/services/image-manager/serviceLevelObjectives/slo" }
}

mock_resource "google_monitoring_uptime_check_config" {
  defaults = { uptime_check_id = "image-manager-api-1234567890" }
}

mock_resource "google_memorystore_instance" {
  defaults = {
    endpoints = [{ connections = [
      { psc_auto_connection = [{ connection_type = "CONNECTION_TYPE_PRIMARY", ip_address = "10.10.0.8" }] },
    ] }]
  }
}

mock_data "google_project" {
  defaults = { number = "123456789012" }
}

mock_data "google_storage_project_service_account" {
  defaults = { email_address = "service-123456789012@gs-project-accounts.iam.gserviceaccount.com" }
}
